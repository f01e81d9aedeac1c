"""The asset graph as Airflow DAGs (outside Airflow), and what their tasks do (inside Airflow)."""
