#include "a_header_of_nobody.h"
#include "broken.skel.h"

int main(void)
{
	return 0;
}
