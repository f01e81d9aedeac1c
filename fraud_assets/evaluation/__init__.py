"""Quality of alerts, measured against labels."""
