#include <dlfcn.h>
#include <stddef.h>

// Loads libzmq first if it is named, then the library, and calls Run.
int main(int count, char **arguments) {
	if (count > 2 && !dlopen(arguments[2], RTLD_LAZY | RTLD_LOCAL))
		return 2;
	void *library = dlopen(arguments[1], RTLD_LAZY | RTLD_LOCAL);
	void (*run)(void) = library ? (void (*)(void)) dlsym(library, "Run") : NULL;
	if (!run)
		return 3;
	run();
	return 0;
}
