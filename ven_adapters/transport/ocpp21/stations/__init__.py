"""What stations told: charging points, transactions, meter values, alarms."""
