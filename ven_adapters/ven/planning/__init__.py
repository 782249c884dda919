"""From the fleet's columns and a zone's requests to one desire per car. Pure."""
