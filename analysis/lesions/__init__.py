"""Units switched off: what the network then says, and what that costs on rendered scenes and on photographs."""
