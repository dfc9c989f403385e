print("mglu")
