"""The dead-man on holding: a second process that gives held cars back when the one that holds them is no more."""
