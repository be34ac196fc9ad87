#include "testbed/exercises.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The names are what programs print. */
#define FILE_NAME "hello.txt"
#define OTHER_NAME "renamed.txt"
#define LINK_NAME "link.txt"
#define DIRECTORY_NAME "directory"

static void read_to_the_end(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char data[4096];

	while (read(fd, data, sizeof(data)) > 0)
		;
	close(fd);
}

static void change_open_file(int fd)
{
	static const char text[] = "hello from ebpf-dev\n";
	char data[sizeof(text)];
	struct stat status;
	void *mapped;

	(void)!write(fd, text, sizeof(text) - 1);
	(void)!pwrite(fd, text, sizeof(text) - 1, 100);
	lseek(fd, 0, SEEK_SET);
	(void)!read(fd, data, sizeof(data));
	(void)!pread(fd, data, sizeof(data), 100);
	fstat(fd, &status);
	fchmod(fd, 0640);
	fchown(fd, 0, 0);
	flock(fd, LOCK_EX);
	posix_fallocate(fd, 0, 4096);
	mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped != MAP_FAILED) {
		memcpy(mapped, text, sizeof(text));
		msync(mapped, 4096, MS_SYNC);
		munmap(mapped, 4096);
	}
	(void)!ftruncate(fd, 10);
	fsync(fd);
}

static void write_file_and_copy(void)
{
	int fd = open(FILE_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int copy = open("copy.txt", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	off_t start = 0;

	change_open_file(fd);
	sendfile(copy, fd, &start, 10);
	close(copy);
	close(fd);
	unlink("copy.txt");
}

static void look_at_file(void)
{
	struct stat status;
	struct statfs space;
	char value[64];

	stat(FILE_NAME, &status);
	statfs(FILE_NAME, &space);
	(void)!access(FILE_NAME, R_OK | W_OK);
	setxattr(FILE_NAME, "user.ebpf-dev", "1", 1, 0);
	getxattr(FILE_NAME, "user.ebpf-dev", value, sizeof(value));
	close(open("missing.txt", O_RDONLY | O_CLOEXEC)); /* a failure is worth seeing too */
}

static void change_names(void)
{
	struct stat status;
	char target[64];

	chmod(FILE_NAME, 0600);
	(void)!chown(FILE_NAME, 0, 0);
	(void)!truncate(FILE_NAME, 5);
	utimensat(AT_FDCWD, FILE_NAME, NULL, 0);
	rename(FILE_NAME, OTHER_NAME);
	(void)!link(OTHER_NAME, LINK_NAME);
	unlink(LINK_NAME);
	(void)!symlink(OTHER_NAME, LINK_NAME);
	lstat(LINK_NAME, &status);
	(void)!readlink(LINK_NAME, target, sizeof(target));
	unlink(LINK_NAME);
	unlink(OTHER_NAME);
}

static void use_directory(void)
{
	DIR *directory;

	mkdir(DIRECTORY_NAME, 0755);
	mkfifo(DIRECTORY_NAME "/fifo", 0600);
	directory = opendir(DIRECTORY_NAME);
	while (directory && readdir(directory))
		;
	if (directory)
		closedir(directory);
	unlink(DIRECTORY_NAME "/fifo");
	rmdir(DIRECTORY_NAME);
}

void exercise_files(void)
{
	read_to_the_end("/etc/hostname");
	write_file_and_copy();
	look_at_file();
	change_names();
	use_directory();
}

#define DISK_BYTES (64 * 1024)

/* Past the page cache, so that the block device is asked at once. */
void exercise_disk(void)
{
	int fd = open("disk", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	void *block = NULL;

	if (!posix_memalign(&block, 4096, DISK_BYTES)) {
		memset(block, 'e', DISK_BYTES);
		(void)!pwrite(fd, block, DISK_BYTES, 0);
		fdatasync(fd);
		(void)!pread(fd, block, DISK_BYTES, 0);
	}
	syncfs(fd);
	free(block);
	close(fd);
	unlink("disk");
}
