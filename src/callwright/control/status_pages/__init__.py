"""Status pages: endpoints that people without an account may see, by a link."""
