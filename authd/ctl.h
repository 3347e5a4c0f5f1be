/* ctl.h - `authd ctl`: administration from a shell, over authd's control socket (admin.h); backup and restore work on the store's folder itself. */
#ifndef AUTHD_CTL_H
#define AUTHD_CTL_H

/* argv[0] is "ctl". Returns the exit status. */
int ctl_main(int argc, char **argv);

#endif
