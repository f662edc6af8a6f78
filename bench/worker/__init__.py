"""The child: a case prepared, checked, measured; one file a job."""
