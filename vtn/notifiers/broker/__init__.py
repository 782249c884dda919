"""The MQTT side: the bundled broker as a child process, who may connect and hear what, and the publisher."""
