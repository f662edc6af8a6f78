"""Cases run as child processes, in rounds, and alternating with another commit's."""
