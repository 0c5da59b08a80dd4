"""Iterators over domains: ``sys/vm/vm_domainset.c``, driven step by step, never through UMA."""
