"""The numbered security cases: docs/security.md says which test is whose."""
