/* What records.bpf.c sends; far from it, as in a project with several programs. */
#ifndef KIT_RECORDS_H
#define KIT_RECORDS_H

struct started {
	__u32 pid;
	char name[16];
};

struct ended {
	__u32 pid;
	__s32 status;
	__u64 when_ns;
	char name[16];
};

#endif
