"""The Django project of the control plane: settings and addresses. `modules.database` starts it."""
