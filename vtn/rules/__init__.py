"""Protocol rules as pure functions: values and `now` in, values out."""
