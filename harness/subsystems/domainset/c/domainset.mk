# Iterators over domains.  The tree's own header says which form it has, and
# what its functions take and return.

SRCS+=	domainset.c domainset_commands.c

DOMAINSET_H=	${SYSDIR}/vm/vm_domainset.h
HAS_MASKS!=	grep -c di_valid_mask ${DOMAINSET_H} || true
HAS_PAGES!=	grep -c pctrie_iter ${DOMAINSET_H} || true
HAS_ERROR!=	grep -c "^int.*vm_domainset_iter_page_init" ${DOMAINSET_H} || true
CFLAGS+=	-DITER_MASKS=${HAS_MASKS} -DITER_PAGES=${HAS_PAGES} -DITER_ERROR=${HAS_ERROR}
