// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * lsm-audit - judge every program before it starts, and write the judgement down.
 *
 * The hook bprm_check_security is where SELinux and AppArmor decide whether an
 * execve() may go on. A BPF program may decide there too: 0 allows, a negative errno
 * denies. This one only watches: it says what it would object to, and denies nothing.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

/* Modes of files, from linux/stat.h: macros are not in vmlinux.h. */
#define S_IWOTH 00002
#define S_ISUID 04000

#define PATH_LEN 128

enum verdict {
	VERDICT_FINE,
	VERDICT_SETUID, /* runs with its owner's rights */
	VERDICT_WRITABLE, /* anybody may change what is run here */
	VERDICT_NAMELESS, /* no name in any directory: deleted, or never had one (memfd) */
	VERDICT_COUNT,
};

/* Rows of chars and not pointers: the loader cannot fill in pointers between read-only data. */
static const char words[VERDICT_COUNT][40] = {
	[VERDICT_FINE] = "fine",
	[VERDICT_SETUID] = "note: setuid",
	[VERDICT_WRITABLE] = "would deny: writable by everybody",
	[VERDICT_NAMELESS] = "would deny: the file has no name",
};

/* Global variables live in the map .bss, where user space can read them. */
__u64 verdicts[VERDICT_COUNT];

/* Also print what is fine; false leaves only the objections. */
const volatile bool verbose = true;

static enum verdict judge(struct inode *inode)
{
	/* The verifier knows the types here, so fields are read as in any C program. */
	if (inode->i_nlink == 0)
		return VERDICT_NAMELESS;
	if (inode->i_mode & S_IWOTH)
		return VERDICT_WRITABLE;
	if (inode->i_mode & S_ISUID)
		return VERDICT_SETUID;
	return VERDICT_FINE;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(audit_exec, struct linux_binprm *bprm, int ret)
{
	enum verdict verdict = judge(bprm->file->f_inode);
	__u32 uid = (__u32)bpf_get_current_uid_gid();
	char path[PATH_LEN];

	__sync_fetch_and_add(&verdicts[verdict], 1);
	if (verbose || verdict != VERDICT_FINE) {
		bpf_probe_read_kernel_str(path, sizeof(path), bprm->filename);
		bpf_printk("exec uid=%u %s: %s", uid, path, words[verdict]);
	}

	/* ret is what the program before us decided: never turn a refusal into an approval. */
	return ret;
}
