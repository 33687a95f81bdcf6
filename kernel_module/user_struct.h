/* SPDX-License-Identifier: GPL-2.0 */
/* Structs of user space that may be older or newer than ours: the ioctl number carries their size. */
#ifndef TEEMATE_USER_STRUCT_H
#define TEEMATE_USER_STRUCT_H

#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/uaccess.h>

/* All structs are in their first version: what is shorter never existed. */
static inline int user_struct_get(void *to, size_t size, const void __user *from, size_t user_size)
{
	if (user_size < size)
		return -EINVAL;
	return copy_struct_from_user(to, size, from, user_size);
}

/* A newer caller's extra fields are results that this kernel does not have: zero */
static inline int user_struct_put(void __user *to, size_t user_size, const void *from, size_t size)
{
	if (user_size < size)
		return -EINVAL;
	if (user_size > size && clear_user(to + size, user_size - size))
		return -EFAULT;
	return copy_to_user(to, from, size) ? -EFAULT : 0;
}

/* Hand out a file by a descriptor, @fd, that the struct names. The reference to the file is used up in any case. */
static inline int user_struct_put_file(void __user *to, size_t user_size, const void *from, size_t size,
				       struct file *file, __s32 *fd)
{
	int ret;

	*fd = get_unused_fd_flags(O_CLOEXEC);
	if (*fd < 0) {
		ret = *fd;
		goto put_file;
	}
	ret = user_struct_put(to, user_size, from, size);
	if (ret)
		goto put_fd;
	fd_install(*fd, file);
	return 0;

put_fd:
	put_unused_fd(*fd);
put_file:
	fput(file);
	return ret;
}

#endif
