"""What the platform's PBX has besides users: queues, menus, groups, conferences, numbers, trunks, routes."""
