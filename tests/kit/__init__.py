"""What the tests and the demo need to run real Envoys."""
