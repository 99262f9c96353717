"""What runs on Kubernetes: submitting workflows, looking at them, ending them, and checking the cluster.

The only package that imports `kubernetes`. Objects of the server are read as JSON into small views of our own; see
docs/adr/0011-kubernetes-clients.md.
"""
