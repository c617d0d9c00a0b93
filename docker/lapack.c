/* Stands in for SciPy's OpenBLAS (28 MB) in the serving image. scipy.special is linked with it for one routine, which
   ellipsoidal harmonics alone call. This one says that it failed, and SciPy raises SpecialFunctionError. */
void scipy_dstevr_(char *jobz, char *range, int *n, double *d, double *e, double *vl, double *vu, int *il, int *iu,
                   double *abstol, int *m, double *w, double *z, int *ldz, int *isuppz, double *work, int *lwork,
                   int *iwork, int *liwork, int *info)
{
    *info = -1;
}
