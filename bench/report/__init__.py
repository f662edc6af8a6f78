"""Records as rows, tables, sentences, recommendations."""
