"""Who hears of incidents while the daemon runs, and what people answer: messages, buttons, other systems."""
