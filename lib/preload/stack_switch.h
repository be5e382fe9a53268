// SPDX-License-Identifier: MIT
/* Running a function on another stack. */
#ifndef FL_PRELOAD_STACK_SWITCH_H
#define FL_PRELOAD_STACK_SWITCH_H

#include "base/types.h"

/*
 * Call @fn(@arg) on the stack that ends at @top (16-byte aligned). Unwinders see through it.
 * @ret_sp: the stack pointer left behind. Return: what @fn returned.
 */
long stack_switch(void *top, long (*fn)(void *arg), void *arg, uintptr_t *ret_sp);

#endif
