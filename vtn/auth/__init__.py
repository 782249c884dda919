"""Who a client is: registered clients, access tokens, sealed secrets and the development authority."""
