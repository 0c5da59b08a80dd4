"""The reference model of ``sys/kern/subr_vmem.c``, in the shape of its C."""
