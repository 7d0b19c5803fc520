// SPDX-License-Identifier: MIT
// Checks addresses and access rights before every copy, set and kernel access, so that a wrong
// address is a CUDA error and never a crash.
#include "softcuda/softcuda.h"

// Number of contexts of each device that may access each peer. Guarded by mem_lock.
static unsigned int peers[CCR_MAX_DEVICES][CCR_MAX_DEVICES];

void ccr_peer_change(int device, int peer, int by)
{
	peers[device][peer] += by;
}

static enum ccr_place place_locked(CUdeviceptr addr)
{
	if (addr >= CCR_VA_CONTROL && addr < CCR_VA_END)
		return CCR_PLACE_DEVICE;
	return ccr_table_find(&ccr_hosts, addr) ? CCR_PLACE_PINNED : CCR_PLACE_PAGEABLE;
}

enum ccr_place ccr_place_of(CUdeviceptr addr)
{
	enum ccr_place place;

	ccr_mem_lock();
	place = place_locked(addr);
	ccr_mem_unlock();
	return place;
}

static bool within(const struct ccr_range *range, CUdeviceptr addr, uint64_t size)
{
	return range && addr >= range->base && size <= range->size - (addr - range->base);
}

// A copy may access memory of any device, a kernel that of another device only with peer access.
static bool access_allowed(const struct ccr_mapping *mapping, bool write, int device)
{
	int need = write ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_READ;

	if (device >= 0 && mapping->is_internal && mapping->phys->device != device)
		return peers[device][mapping->phys->device];
	if (device >= 0)
		return (mapping->access[device] & need) == need;
	for (int i = 0; i < CCR_MAX_DEVICES; i++)
		if ((mapping->access[i] & need) == need)
			return true;
	return false;
}

static bool may_access_mapped(CUdeviceptr addr, uint64_t size, bool write, int device)
{
	while (size) {
		const struct ccr_mapping *mapping = ccr_table_find(&ccr_mappings, addr);
		uint64_t part;

		if (!mapping || !access_allowed(mapping, write, device))
			return false;
		// Small allocations share a block; an access must stay inside one of them.
		if (mapping->is_internal && mapping->phys->is_imported)
			return within(&mapping->range, addr, size);
		if (mapping->is_internal)
			return within(ccr_table_find(&ccr_allocs, addr), addr, size);
		part = mapping->range.base + mapping->range.size - addr;
		if (part > size)
			part = size;
		addr += part;
		size -= part;
	}
	return true;
}

bool ccr_may_access(CUdeviceptr addr, uint64_t size, bool write, int device)
{
	bool result = false;

	if (!size)
		return true;
	if (addr + size < addr)
		return false;
	ccr_mem_lock();
	switch (place_locked(addr)) {
	case CCR_PLACE_DEVICE:
		result = may_access_mapped(addr, size, write, device);
		break;
	case CCR_PLACE_PINNED:
		result = within(ccr_table_find(&ccr_hosts, addr), addr, size);
		// A copy may extend beyond the registered part into ordinary memory.
		if (device < 0)
			result = addr + size <= CCR_VA_CONTROL || addr >= CCR_VA_END;
		break;
	case CCR_PLACE_PAGEABLE:
		// The CPU copies, so ordinary memory is valid; a kernel has no access to it. Page 0
		// is never valid.
		result = device < 0 && addr >= 4096 &&
			 (addr + size <= CCR_VA_CONTROL || addr >= CCR_VA_END);
		break;
	}
	ccr_mem_unlock();
	return result;
}
