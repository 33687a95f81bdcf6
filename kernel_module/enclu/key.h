/* SPDX-License-Identifier: GPL-2.0 */
/* Keys of the emulated CPU. */
#ifndef TEEMATE_ENCLU_KEY_H
#define TEEMATE_ENCLU_KEY_H

#include <asm/sgx.h>
#include <linux/types.h>

#define KEY_SIZE 16
#define KEY_ID_SIZE 32
#define CPUSVN_SIZE 16

enum key_name {
	KEY_EINITTOKEN,
	KEY_PROVISION,
	KEY_PROVISION_SEAL,
	KEY_REPORT,
	KEY_SEAL,
};

/* What a key depends on (SDM vol. 3D, "Key derivation"). Zero where it does not. */
struct key_dependencies {
	u16 name;
	u16 isv_prod_id;
	u16 isv_svn;
	u16 config_svn;
	u32 miscselect;
	u32 reserved;
	u64 attributes;
	u64 xfrm;
	u8 mrenclave[32];
	u8 mrsigner[32];
	u8 config_id[64];
	u8 family_id[16];
	u8 ext_prod_id[16];
	u8 key_id[KEY_ID_SIZE];
	u8 cpusvn[CPUSVN_SIZE];
};

static_assert(sizeof(struct key_dependencies) == 8 + 8 + 16 + 64 + 64 + 32 + KEY_ID_SIZE + CPUSVN_SIZE);

extern const u8 cpu_cpusvn[CPUSVN_SIZE];

int cpu_keys_init(void);
void cpu_keys_exit(void);
const u8 *cpu_report_key_id(void);
int cpu_key_derive(const struct key_dependencies *dependencies, u8 key[KEY_SIZE]);
int cpu_key_mac(const u8 key[KEY_SIZE], const void *data, size_t size, u8 mac[KEY_SIZE]);

#endif
