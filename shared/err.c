#include "shared/err.h"

const char *
err_name(enum err e)
{
	switch (e) {
	case OK:
		return "OK";
	case E_AGAIN:
		return "E_AGAIN";
	case E_NOMEM:
		return "E_NOMEM";
	case E_SYSTEM:
		return "E_SYSTEM";
	case E_FORMAT:
		return "E_FORMAT";
	case E_LIMIT:
		return "E_LIMIT";
	case E_CONFLICT:
		return "E_CONFLICT";
	case E_EMPTY:
		return "E_EMPTY";
	case E_DENIED:
		return "E_DENIED";
	}
	return "E_UNKNOWN";
}
