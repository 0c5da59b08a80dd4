"""The reference model of ``sys/vm/vm_domainset.c``, in the shape of its C."""
