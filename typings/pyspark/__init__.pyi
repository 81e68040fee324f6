"""What Headwater uses of PySpark, so that types are checked where it is not installed."""
