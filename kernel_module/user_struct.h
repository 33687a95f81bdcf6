/* SPDX-License-Identifier: GPL-2.0 */
/* Structs of user space that may be older or newer than ours: the ioctl number carries their size. */
#ifndef TEEMATE_USER_STRUCT_H
#define TEEMATE_USER_STRUCT_H

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

#endif
