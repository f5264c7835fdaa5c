/* This library is preloaded into sshd. It makes PAM read its configuration from a directory of the
 * test, not from the machine's directory. */
#include <stdlib.h>

struct pam_conv;
typedef struct pam_handle pam_handle_t;

int pam_start_confdir(const char *, const char *, const struct pam_conv *, const char *, pam_handle_t **);

int pam_start(const char *service, const char *user, const struct pam_conv *conversation, pam_handle_t **handle)
{
	return pam_start_confdir(service, user, conversation, getenv("TEST_PAM"), handle);
}
