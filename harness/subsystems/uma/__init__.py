"""UMA where it hands out slabs: sys/vm/uma_core.c, and the iterators of sys/vm/vm_domainset.c."""
