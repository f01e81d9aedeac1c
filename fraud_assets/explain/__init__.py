"""Why a transaction was flagged, or was not."""
