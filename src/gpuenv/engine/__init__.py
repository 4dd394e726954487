"""The container engine: find Docker or Podman, or start a private daemon; talk to its API; run containers that do
not outlive their creator.
"""
