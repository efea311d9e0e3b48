"""Adapters of `autoscaler.provider.Provider`, each named after its technology."""
