"""The OpenAPI document, made from the tables that the server runs by, and the page that shows it."""
