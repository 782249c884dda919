"""What automakers' files share: the reference HTTP contract, retries, budgets, signatures and the fallback ladder."""
