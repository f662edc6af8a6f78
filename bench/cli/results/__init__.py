"""`report compare history recommend load export import`."""
