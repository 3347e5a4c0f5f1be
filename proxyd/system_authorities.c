#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include "proxyd/system_authorities.h"
#include "shared/slice.h"

/* As OpenSSL and openssl-rehash(1) name them: eight hexadecimal digits of the subject's hash, a dot, a number. */
static bool
is_hash_name(const char *name)
{
	return strspn(name, "0123456789abcdef") == 8 && name[8] == '.' && name[9] && name[9 + strspn(name + 9, "0123456789")] == '\0';
}

static void
load_folder(X509_STORE *store, const char *folder)
{
	char path[4096];
	DIR *d = opendir(folder);

	if (!d)
		return;
	for (struct dirent *entry; (entry = readdir(d));)
		if (is_hash_name(entry->d_name) && snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < (int)sizeof(path))
			X509_STORE_load_file(store, path);
	closedir(d);
}

static const char *
place(const char *variable, const char *built_in)
{
	const char *told = getenv(variable);

	return told ? told : built_in;
}

size_t
system_authorities_load(X509_STORE *store)
{
	struct slice folders = slice_str(place(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
	char folder[4096];

	ERR_set_mark();
	X509_STORE_load_file(store, place(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
	while (folders.n) {
		struct slice one = slice_cut(&folders, ':');
		if (one.n && snprintf(folder, sizeof(folder), "%.*s", SLICE_FMT(one)) < (int)sizeof(folder))
			load_folder(store, folder);
	}
	ERR_pop_to_mark();
	return (size_t)sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
}
