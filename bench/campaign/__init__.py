"""A rented card's quarter of an hour: tasks in order of value, their results saved as they come."""
