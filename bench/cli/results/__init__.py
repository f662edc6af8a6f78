"""`report compare history recommend capacity export import`."""
