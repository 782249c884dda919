"""What a zone can do, told before it is asked: forecast, band, nomination, shortfall and what binds."""
