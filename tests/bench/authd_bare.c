/* What an answer of authd cannot do without: OpenSSL's signature of a token's bytes with a held key, and its part of a durable LMDB commit. CPU time of this
 * process, user and system, per operation.
 *
 *   authd_bare FOLDER MILLISECONDS GROUP    prints {"rs256_us":…,"es256_us":…,"commit_us":…}; commit_us: of one write among GROUP */
#include <lmdb.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN_BYTES 700   /* header and claims, in base64url */
#define RECORD_BYTES 600  /* a refresh token's family */
#define KEY_BYTES 32      /* found by a digest, as what is stored of a secret is */
#define RECORDS 20000     /* as many as authd has while it is measured: pages are what a commit costs */

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
fail(const char *what)
{
	fprintf(stderr, "authd_bare: %s\n", what);
	exit(1);
}

static double
sign_us(EVP_PKEY *key, double for_us)
{
	unsigned char text[TOKEN_BYTES], signature[1024];
	double begin = cpu_us();
	size_t n = 0;

	memset(text, 'x', sizeof text);
	for (; cpu_us() - begin < for_us; n++) {
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		size_t length = sizeof signature;
		text[n % sizeof text]++;
		if (!ctx || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 || EVP_DigestSign(ctx, signature, &length, text, sizeof text) != 1)
			fail("no signature");
		EVP_MD_CTX_free(ctx);
	}
	return (cpu_us() - begin) / (double)n;
}

/* The n-th record, anywhere among the others. */
static void
put(MDB_txn *txn, MDB_dbi dbi, unsigned n, char *record)
{
	unsigned key[KEY_BYTES / sizeof(unsigned)] = { n * 2654435761u };
	MDB_val k = { sizeof key, key }, v = { RECORD_BYTES, record };

	memcpy(record, &n, sizeof n);
	if (mdb_put(txn, dbi, &k, &v, 0))
		fail("no put");
}

/* Of one write when `group` share a commit. */
static double
commit_us(const char *folder, double for_us, unsigned group)
{
	char record[RECORD_BYTES] = { 0 };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	unsigned which = 1;
	size_t n = 0;

	if (mdb_env_create(&env) || mdb_env_set_mapsize(env, 256u << 20) || mdb_env_open(env, folder, 0, 0600) || mdb_txn_begin(env, NULL, 0, &txn) ||
		mdb_dbi_open(txn, NULL, 0, &dbi))
		fail("no database");
	for (unsigned i = 0; i < RECORDS; i++)
		put(txn, dbi, i, record);
	if (mdb_txn_commit(txn))
		fail("no commit");
	double begin = cpu_us();
	while (cpu_us() - begin < for_us) {
		if (mdb_txn_begin(env, NULL, 0, &txn))
			fail("no transaction");
		for (unsigned i = 0; i < group; i++, n++)
			put(txn, dbi, (which = which * 1664525u + 1013904223u) % RECORDS, record);
		if (mdb_txn_commit(txn))
			fail("no commit");
	}
	double each = (cpu_us() - begin) / (double)n;
	mdb_env_close(env);
	return each;
}

int
main(int argc, char **argv)
{
	if (argc != 4)
		fail("FOLDER MILLISECONDS GROUP");
	double for_us = atof(argv[2]) * 1e3;
	int group = atoi(argv[3]);
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");

	if (!rsa || !ec || group < 1)
		fail("no keys");
	printf("{\"rs256_us\":%.2f,\"es256_us\":%.2f,\"commit_us\":%.2f}\n", sign_us(rsa, for_us), sign_us(ec, for_us), commit_us(argv[1], for_us, (unsigned)group));
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	return 0;
}
