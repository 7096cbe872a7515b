"""Training as pure functions of a state: slots give updates, a round turns updates into the next state."""
