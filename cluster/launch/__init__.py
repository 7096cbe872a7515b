"""Starting and ending processes: a site in the background, a worker node, and checks of the machine."""
