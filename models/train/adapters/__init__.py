"""The small adapters that ship beside the model: what each one is trained on, and how."""
