"""The road, wired together: settings, workspace, run, report, Python, command line."""
