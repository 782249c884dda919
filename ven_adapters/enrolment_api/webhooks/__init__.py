"""What the automaker's app is told unasked: changes of enrolments, and events before and after them."""
